-- Sends the cookies of the file $BENCH_COOKIES in turn, and ends with the number of good and bad answers.
local requests, at = {}, 0

function init()
  local file = os.getenv("BENCH_COOKIES")
  if not file then
    requests = { wrk.format() }
    return
  end
  for cookie in io.lines(file) do
    wrk.headers["Cookie"] = cookie
    requests[#requests + 1] = wrk.format()
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d\n", summary.requests, summary.duration,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
