-- Signed deliveries with fresh ids, made before the run: each thread takes its share of the signatures.
local number = 0
function setup(thread)
  thread:set("first", number)
  number = number + 1
end
function init(args)
  before, after, threads, signatures = args[1], args[2], tonumber(args[4]), {}
  local file = io.open(before); before = file:read("*a"); file:close()
  file = io.open(after); after = file:read("*a"); file:close()
  for line in io.lines(args[3]) do table.insert(signatures, line) end
  at, failed = first, 0
end
function request()
  at = at + threads
  local index = at % #signatures + 1
  local id = string.format("%012d", index)
  return wrk.format("POST", nil, {
    ["Content-Type"] = "application/json",
    ["User-Agent"] = "GitHub-Hookshot/bench",
    ["X-GitHub-Event"] = "push",
    ["X-GitHub-Delivery"] = string.format("%08d-bench-%012d", math.floor(at / #signatures), index),
    ["X-Hub-Signature-256"] = signatures[index],
  }, before .. id .. after)
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('{"requests": %d, "seconds": %f, "failed": %d, "p50": %f, "p99": %f, "longest": %f}\n',
    summary.requests, summary.duration / 1e6,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50.0) / 1e6, latency:percentile(99.0) / 1e6, latency.max / 1e6))
end
