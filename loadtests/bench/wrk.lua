-- wrk -s wrk.lua URL -- PAYLOADS: one JSON body a line, sent in turn. Prints one line of JSON.
local prepared = {}
local sent = 0

function init(args)
  for body in io.lines(args[1]) do
    prepared[#prepared + 1] = wrk.format("POST", nil, nil, body)
  end
end

function request()
  sent = sent % #prepared + 1
  return prepared[sent]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"answers": %d, "seconds": %.6f, "p50_ms": %.4f, "p99_ms": %.4f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
