-- Sends the cookie of $BENCH_COOKIE, and ends with the number of good and bad answers.
wrk.headers["Cookie"] = os.getenv("BENCH_COOKIE")

function done(summary)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d\n", summary.requests, summary.duration,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
