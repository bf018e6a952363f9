//! Chinese, simplified.

use super::{Devices, JUST_NOW, Lapses, Login, Logout, LostCookie, Refusals, Text, Words, largest_unit};
use std::time::Duration;

/// Chinese, simplified.
pub const WORDS: Words = Words {
    tag: "zh-Hans",
    kept_by: "会话由 Cloakroom 保管",
    try_again: "重试",
    sign_in: "登录",
    sign_out: "退出登录",
    sign_in_as_another: "换个账号登录",
    signed_in_as: |user| format!("您当前以 {user} 的身份登录。"),
    length,
    login: Login {
        onward: ("登录后前往 ", ""),
        again: "请确认是您本人",
        why_again: "您登录已有一段时间，请再输入一次密码。",
        name: "用户名",
        password: "密码",
        remember: "在此设备上保持登录",
        refused: "用户名与密码不匹配，请检查后重试。",
        incomplete: "请同时填写用户名和密码。",
        password_too_long: "密码超出了本站接受的长度。",
        slow_down: |wait| format!("尝试次数过多，请等待 {}后再试。", length(wait)),
        busy: |wait| format!("现在登录的人很多，请在 {}后重试。", length(wait)),
        unavailable: "我们暂时无法核对密码。这不是您的问题，请稍后重试。",
        expired: "此页面打开已久，我们为您换了一张新的。请再输入一次密码。",
        unsure: "我们无法确认这是从本站页面提交的。请再输入一次密码。",
        lost: LostCookie {
            blocked: "您的浏览器没有保存我们的 Cookie，因为它被设置为拒绝本站的 Cookie。请允许后再登录。",
            insecure: "您的浏览器没有保存我们的 Cookie，因为该 Cookie 只能通过 HTTPS 传送，而此页面是通过普通 HTTP 打开的。请改用本站的 https:// 地址。",
            elsewhere: "您的浏览器没有保存我们的 Cookie，因为该 Cookie 属于另一个网址，而不是地址栏中的这个。请用本站自己的网址打开。",
        },
        lapse: Lapses {
            idle: |after| match after {
                Some(after) => format!("您离开已超过 {}，会话已结束。", length(after)),
                None => "您离开已久，会话已结束。".to_owned(),
            },
            absolute: "您的登录已达到本站允许的最长时间，会话已结束。",
            ended: "您已退出登录。",
            revoked: "您已在另一台设备上或由本站退出登录。",
            replaced: "您已重新登录，此页面原来的会话已结束。",
            unknown: "您的会话已结束。",
        },
    },
    logout: Logout {
        title: "退出登录",
        heading: "要交还存衣牌吗？",
        here: "退出后，此浏览器和服务器上的这个会话都会结束。",
        everywhere: "在我的所有设备上退出",
        stay: "留下",
        others_stay: "除非您选择，否则其他设备不受影响。",
    },
    devices: Devices {
        title: "您在哪些设备上登录",
        this_one: "此设备",
        called: |browser, system| match (browser, system) {
            (Some(browser), Some(system)) => format!("{system} 上的 {browser}"),
            (Some(browser), None) => browser.to_owned(),
            (None, Some(system)) => format!("{system} 上的浏览器"),
            (None, None) => "未知设备".to_owned(),
        },
        signed_in: |ago| if ago < JUST_NOW { "刚刚登录".to_owned() } else { format!("{}前登录", length(ago)) },
        active: |ago| format!("{}前活动", length(ago)),
        active_now: "正在使用",
        end: "退出",
        end_this: |device| format!("退出{device}"),
        end_others: "退出其他所有设备",
        no_others: "您没有在其他地方登录。",
        confirm_first: "您登录已有一段时间。要让其他设备退出，请先确认密码。",
        confirm: "确认密码",
        sign_in_again_first: "您登录已有一段时间。要让其他设备退出，请先重新登录。",
        back: "返回网站",
    },
    refusals: Refusals {
        malformed: Text {
            title: "我们读不懂这个请求",
            lines: &["它可以有不止一种理解，因此没有被转交。", "如果您点击了一个链接，那么链接有误；请从网站首页开始。"],
        },
        head_too_large: Text {
            title: "这个请求太大了",
            lines: &["它的标头超出了本站接受的大小。", "在浏览器中清除本站的 Cookie 通常有用。"],
        },
        uri_too_long: Text { title: "这个网址太长了", lines: &["它超出了本站接受的长度。"] },
        too_slow: Text { title: "等待太久了", lines: &["请求没有及时到达。", "请重试。"] },
        method_refused: Text { title: "这里不能这样做", lines: &["这个网址不接受这类请求。"] },
        expectation_failed: Text { title: "我们做不到这个请求的期望", lines: &["它要求的是本站不提供的功能。"] },
        body_too_large: Text {
            title: "内容太大，无法发送", lines: &["本站一次接受不了这么多。", "请发送小一些的文件。"]
        },
        form_type: Text { title: "我们读不懂这个表单", lines: &["它不是以本站页面的方式提交的。"] },
        no_route: Text { title: "这里什么也没有", lines: &["这个网址在本站没有对应的页面。"] },
        misdirected: Text { title: "这里没有那个网站", lines: &["这个网址所指的网站不在这里。"] },
        not_signed_in: Text {
            title: "请先登录", lines: &["此页面只对已登录的人开放。", "请登录后再回到这里。"]
        },
        idle: Text {
            title: "请重新登录", lines: &["您离开已久，会话已结束。", "什么也没有丢失：登录后即可回到此页面。"]
        },
        form_not_sent: Text {
            title: "请先登录",
            lines: &["您没有登录，因此您提交的内容没有被转交。", "请登录并回到表单，其中填写的内容需要重新提交。"],
        },
        session_ended: Text {
            title: "请重新登录", lines: &["您的会话已结束。", "内容没有丢失：登录后即可回到此页面。"]
        },
        login_too_old: Text {
            title: "请重新登录", lines: &["您登录已有一段时间，此页面需要重新登录。", "您在其他页面仍保持登录。"]
        },
        form_needs_login: Text {
            title: "请重新登录",
            lines: &[
                "您登录已有一段时间，此操作需要重新登录，因此您提交的内容没有被转交。",
                "请登录并回到表单，其中填写的内容需要重新提交。",
            ],
        },
        forbidden: Text { title: "此页面不对您开放", lines: &["您需要以有权查看的身份登录。"] },
        not_allowed: Text {
            title: "此页面不对您开放", lines: &["此页面只对其他人开放。如果您有别的账号，可以换用它。"]
        },
        cross_site: Text {
            title: "这来自另一个网站", lines: &["为了您的安全，这只能在本站自己的页面上进行。", "请回到本站再试。"]
        },
        store_unavailable: Text {
            title: "请稍候", lines: &["您的会话是安全的，只是我们暂时取不到它。", "您没有被退出登录。请稍后重试。"]
        },
        logout_unconfirmed: Text {
            title: "您已在此设备上退出",
            lines: &["我们暂时联系不上保存会话的地方，会继续尝试在那里结束它。", "此浏览器已经忘记了它。"],
        },
        end_unconfirmed: Text {
            title: "尚未确认",
            lines: &["我们暂时联系不上保存会话的地方，因此还不能确定其他设备是否已退出。", "我们会继续尝试让它们退出。"],
        },
        upstream_unreachable: Text {
            title: "无法打开此页面", lines: &["它背后的服务暂时没有回应。", "请稍后重试。"]
        },
        upstream_timeout: Text {
            title: "此页面用时太久", lines: &["它背后的服务没有及时回应。", "请稍后重试。"]
        },
        upstream_malformed: Text { title: "无法显示此页面", lines: &["它背后的服务给出了无法理解的回答。"] },
        headers_too_large: Text {
            title: "无法显示此页面", lines: &["您的会话内容超出了此页面背后的服务所能接受的大小。"]
        },
        defect: Text { title: "我们这边出了问题", lines: &["这不是您的错，问题已被记录下来。", "请重试。"] },
    },
};

fn length(length: Duration) -> String {
    let (count, unit) = largest_unit(length);
    let unit = ["天", "小时", "分钟", "秒"].get(unit).copied().unwrap_or_default();
    format!("{count} {unit}")
}
