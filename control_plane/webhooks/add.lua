#!lua
-- Keeps deliveries that are to be made. Guards that one which is kept is left as it is, so that
-- the same end told twice is delivered as once told.
--
-- ARGV 2.. seven for each: id, tenant, job, receiver, event, body, url
-- Returns how many were not kept before

local added = 0
for place = 2, #ARGV, 7 do
  local id, tenant, receiver = ARGV[place], ARGV[place + 1], ARGV[place + 3]
  local key = P .. 'd:' .. id
  if redis.call('EXISTS', key) == 0 then
    redis.call('HSET', key, 'tenant', tenant, 'job', ARGV[place + 2], 'receiver', receiver,
      'event', ARGV[place + 4], 'body', ARGV[place + 5],
      'url', ARGV[place + 6], 'number', 0, 'attempts', 0, 'fence', 0, 'created', whole(now),
      'ended', 0)
    redis.call('ZADD', P .. 'of:' .. tenant, 0, id)
    redis.call('ZADD', P .. 'of:' .. tenant .. ':' .. receiver, 0, id)
    wait(id, tenant, receiver, now)
    arrange(tenant, receiver)
    added = added + 1
  end
end
return added
