#!lua flags=allow-oom
-- Forgets deliveries that were kept long enough. Guards that one which was begun anew stays.
--
-- ARGV 2 how many at most
-- Returns how many were forgotten

local old = redis.call('ZRANGEBYSCORE', P .. 'forget', '-inf', whole(now), 'LIMIT', 0, ARGV[2])
for _, id in ipairs(old) do
  local found = redis.call('HMGET', P .. 'd:' .. id, 'tenant', 'receiver')
  if found[1] then
    redis.call('ZREM', P .. 'of:' .. found[1], id)
    redis.call('ZREM', P .. 'of:' .. found[1] .. ':' .. found[2], id)
  end
  redis.call('DEL', P .. 'd:' .. id, P .. 'log:' .. id)
  redis.call('ZREM', P .. 'forget', id)
end
return #old
