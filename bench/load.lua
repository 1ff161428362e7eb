-- Requests for wrk: bodies from a file, one a line, so that no two in a row are alike. Arguments: the file, the API key.
local bodies, at = {}, 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    bodies[#bodies + 1] = line
  end
  wrk.method = "POST"
  wrk.headers["Authorization"] = "Bearer " .. arguments[2]
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  at = at % #bodies + 1
  return wrk.format(nil, "/api/createTransaction", nil, bodies[at])
end

function done(summary, latency)
  io.write(string.format('RESULT {"requests": %d, "microseconds": %d, "bad": %d, "p50": %.0f, "p99": %.0f}\n',
    summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
