#!lua flags=allow-oom
-- Gives a dispatcher deliveries that are due, with a lease and a fence. Guards that each is in one
-- hand, that tenants take turns and then their receivers, and that a slow receiver has one call.
--
-- ARGV 2 length of the lease, ms  3 how many at most  4 how many of one tenant the dispatcher may
--      hold  5.. tenant and number that it holds, in pairs
-- Returns for each: id, fence, number, tenant, receiver, body, url

local RECOVERED = 100
local lease, most, share = now + tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local hands, busy, claimed = {}, 0, {}
for place = 5, #ARGV, 2 do
  hands[ARGV[place]] = tonumber(ARGV[place + 1])
  busy = busy + 1
end

local lost = redis.call('ZRANGEBYSCORE', P .. 'held', '-inf', whole(now), 'LIMIT', 0, RECOVERED)
for _, id in ipairs(lost) do
  local found = redis.call('HMGET', P .. 'd:' .. id, 'tenant', 'receiver')
  note(id, '{"at":' .. whole(now) .. ',"error":"dispatcher_lost"}')
  release(id, found[1], found[2])
  wait(id, found[1], found[2], now)
  arrange(found[1], found[2])
end

local function take(tenant, receiver, id)
  local key = P .. 'd:' .. id
  redis.call('ZREM', due_of(tenant, receiver), id)
  redis.call('ZADD', P .. 'held', whole(lease), id)
  local fence = redis.call('HINCRBY', key, 'fence', 1)
  local number = redis.call('HINCRBY', key, 'number', 1)
  redis.call('HINCRBY', key, 'attempts', 1)
  redis.call('HSET', key, 'status', 'sending')
  -- Within one step the order of the served is kept by parts of a millisecond.
  local served = text(now - 1 + math.min(#claimed + 1, 999) / 1000)
  local lane = lane_of(tenant, receiver)
  redis.call('HSET', lane, 'served', served)
  redis.call('HINCRBY', lane, 'held', 1)
  redis.call('EXPIRE', lane, LANE_S)
  redis.call('SET', P .. 'served:' .. tenant, served, 'EX', SERVED_S)
  arrange(tenant, receiver)
  local sent = redis.call('HMGET', key, 'body', 'url')
  claimed[#claimed + 1] = { id, fence, number, tenant, receiver, sent[1], sent[2] }
end

-- One delivery of a tenant's next receiver; false if nothing of it is due.
local function serve(tenant)
  if (hands[tenant] or 0) >= share then
    return false
  end
  local lanes = P .. 'lanes:' .. tenant
  local receiver = redis.call('ZRANGEBYSCORE', lanes, '-inf', whole(now), 'LIMIT', 0, 1)[1]
  local id = receiver
    and redis.call('ZRANGEBYSCORE', due_of(tenant, receiver), '-inf', whole(now), 'LIMIT', 0, 1)[1]
  if not id then
    return false
  end
  take(tenant, receiver, id)
  hands[tenant] = (hands[tenant] or 0) + 1
  return true
end

local turns = P .. 'turns'
local waiting = redis.call('ZRANGEBYSCORE', turns, '-inf', whole(now), 'LIMIT', 0, most + busy)
while #waiting > 0 and #claimed < most do
  local again = {}
  for _, tenant in ipairs(waiting) do
    if #claimed < most and serve(tenant) then
      again[#again + 1] = tenant
    end
  end
  waiting = again
end
return claimed
