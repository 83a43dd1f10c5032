#!lua
-- Begins a delivery's schedule anew, at once. Guards that it is the tenant's own, and that one under
-- way is not sent beside itself: its schedule begins when the attempt has failed.
--
-- ARGV 2 id  3 tenant
-- Returns 1, or 0 if the tenant has no such delivery

local id, tenant = ARGV[2], ARGV[3]
local key = P .. 'd:' .. id
local found = redis.call('HMGET', key, 'tenant', 'receiver', 'status')
if found[1] ~= tenant then
  return 0
end
if found[3] == 'sending' then
  redis.call('HSET', key, 'again', 1)
  return 1
end
redis.call('HSET', key, 'number', 0, 'ended', 0)
redis.call('ZREM', P .. 'forget', id)
wait(id, tenant, found[2], now)
arrange(tenant, found[2])
return 1
