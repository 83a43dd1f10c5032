-- Begins a request under an idempotency key, of which only one may be under way. Guards against
-- two processes that run the same request, and against one key for two requests.
--
-- KEYS[1]  what is known under the key: "run <digest> <holder>" or "end <digest> <sealed answer>"
-- ARGV     digest of the request, holder, milliseconds of the hold
-- Returns  { 'begun' } | { 'conflict' } | { 'running', milliseconds } | { 'ended', sealed answer }
local kept = redis.call('GET', KEYS[1])
if not kept then
  redis.call('SET', KEYS[1], 'run ' .. ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
  return { 'begun' }
end
local state, digest, rest = string.match(kept, '^(%S+) (%S+) (.*)$')
if digest ~= ARGV[1] then return { 'conflict' } end
if state == 'run' then return { 'running', redis.call('PTTL', KEYS[1]) } end
return { 'ended', rest }
