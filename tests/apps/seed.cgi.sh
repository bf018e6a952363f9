#!/bin/sh
printf 'Content-Type: text/plain; charset=utf-8\r\n'
if [ "$PATH_INFO" = /login ]; then
    printf 'X-Session-Set: {"userinfo":"admin"}\r\n\r\n存储成功'
elif [ -n "$HTTP_X_SESSION_USERINFO" ]; then
    printf '\r\n欢迎%s回来' "$HTTP_X_SESSION_USERINFO"
else
    printf '\r\n请登录'
fi
