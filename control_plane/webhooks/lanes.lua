-- Stands before every script of this folder. Guards that the order of turns follows from what is
-- due: whoever changes a lane's deliveries, its calls or its slowness arranges it in the same step.
--
-- KEYS[1] is the prefix of all keys, which share its hash tag. ARGV[1] is by how many milliseconds
-- the schedule is ahead of the server's clock (0 but in rehearsals).

local P = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
local LANE_S, SERVED_S, LOG = 172800, 3600, 32

local function text(number)
  return string.format('%.3f', number)
end

local function whole(number)
  return string.format('%.0f', number)
end

local function lane_of(tenant, receiver)
  return P .. 'lane:' .. tenant .. ':' .. receiver
end

local function due_of(tenant, receiver)
  return P .. 'due:' .. tenant .. ':' .. receiver
end

-- A lane's turn is when its first delivery is due, or when it was last served if that is later, so
-- that who was served stands behind who was not. A slow receiver has no turn while it has a call.
local function arrange(tenant, receiver)
  local lanes = P .. 'lanes:' .. tenant
  local first = redis.call('ZRANGE', due_of(tenant, receiver), 0, 0, 'WITHSCORES')
  local lane = redis.call('HMGET', lane_of(tenant, receiver), 'held', 'slow', 'served')
  local busy = lane[2] and tonumber(lane[1] or 0) > 0
  if not first[1] or busy then
    redis.call('ZREM', lanes, receiver)
  else
    local turn = math.max(tonumber(first[2]), tonumber(lane[3] or 0))
    redis.call('ZADD', lanes, text(turn), receiver)
  end
  local next_lane = redis.call('ZRANGE', lanes, 0, 0, 'WITHSCORES')
  if not next_lane[1] then
    redis.call('ZREM', P .. 'turns', tenant)
  else
    local served = redis.call('GET', P .. 'served:' .. tenant)
    local turn = math.max(tonumber(next_lane[2]), tonumber(served or 0))
    redis.call('ZADD', P .. 'turns', text(turn), tenant)
  end
end

-- A delivery waits for a moment.
local function wait(id, tenant, receiver, due)
  redis.call('HSET', P .. 'd:' .. id, 'status', 'waiting', 'due', whole(due))
  redis.call('ZADD', due_of(tenant, receiver), whole(due), id)
end

-- A call of a lane is over.
local function release(id, tenant, receiver)
  redis.call('ZREM', P .. 'held', id)
  local lane = lane_of(tenant, receiver)
  if redis.call('HINCRBY', lane, 'held', -1) <= 0 then
    redis.call('HDEL', lane, 'held')
  end
end

local function note(id, attempt)
  redis.call('RPUSH', P .. 'log:' .. id, attempt)
  redis.call('LTRIM', P .. 'log:' .. id, -LOG, -1)
end
