-- Put before each script of jobs: how a job moves between where it waits, runs and ends.
-- KEYS[1] prefix of all keys (layout.py)   ARGV[1] the input, MessagePack
local P = KEYS[1]
local input = cmsgpack.unpack(ARGV[1])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local woken = {}

local RUNS = 2 ^ 40      -- a score of the ring: running jobs * RUNS + number of the turn
local PRIORITIES = 3
local SUSPECT = 2        -- lost with so many workers, a job runs alone among its like
local LATER = 86400000   -- payloads go by themselves a day after they should have been forgotten
local NUMBERS = { 'priority', 'units', 'progress', 'attempts', 'lost', 'fence', 'revision',
                  'refunded', 'created', 'start', 'started', 'ended', 'expires', 'kept' }

local function read(id)
  local flat = redis.call('HGETALL', P .. 'job:' .. id)
  if #flat == 0 then return nil end
  local job = { id = id }
  for i = 1, #flat, 2 do job[flat[i]] = flat[i + 1] end
  for _, field in ipairs(NUMBERS) do job[field] = tonumber(job[field]) or 0 end
  return job
end

local function save(job, changes)
  local flat = {}
  for field, value in pairs(changes) do
    job[field] = value
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  redis.call('HSET', P .. 'job:' .. job.id, unpack(flat))
end

local function shelf(job) return P .. 'of:' .. job.tenant .. ':' .. job.state .. ':' .. job.model end
local function tell(job) redis.call('PUBLISH', P .. 'change:' .. job.id, job.revision) end
local function ring(job, priority) return P .. 'ring:' .. job.size .. ':' .. priority end
local function queue(job)
  return P .. 'queue:' .. job.size .. ':' .. job.priority .. ':' .. job.tenant
end

-- Changes what is seen of a job: its state and the lists that it stands in.
local function show(job, state, changes)
  if state ~= job.state then
    redis.call('ZREM', shelf(job), job.id)
    job.state = state
    redis.call('ZADD', shelf(job), 0, job.id)
  end
  changes.state = state
  changes.revision = job.revision + 1
  save(job, changes)
  tell(job)
end

-- Counts a tenant's running jobs, which moves it in its rings.
local function run(job, by)
  local running = redis.call('HINCRBY', P .. 'running:' .. job.size, job.tenant, by)
  if running == 0 then redis.call('HDEL', P .. 'running:' .. job.size, job.tenant) end
  for priority = 0, PRIORITIES - 1 do
    if redis.call('ZSCORE', ring(job, priority), job.tenant) then
      redis.call('ZINCRBY', ring(job, priority), by * RUNS, job.tenant)
    end
  end
  return running
end

-- Puts a job that lies nowhere to where it waits until it may be taken.
local function wait(job, at)
  if at > now then
    redis.call('ZADD', P .. 'delayed', at, job.id)
    return save(job, { place = 'delayed' })
  end
  woken[job.size] = true
  if job.lost >= SUSPECT then
    redis.call('ZADD', P .. 'suspects:' .. job.size, 0, job.id)
    return save(job, { place = 'suspects' })
  end
  redis.call('ZADD', queue(job), 0, job.id)
  redis.call('HINCRBY', P .. 'waiting', job.size .. ':' .. job.priority, 1)
  if not redis.call('ZSCORE', ring(job, job.priority), job.tenant) then
    local running = tonumber(redis.call('HGET', P .. 'running:' .. job.size, job.tenant)) or 0
    local turn = redis.call('INCR', P .. 'served')
    redis.call('ZADD', ring(job, job.priority), running * RUNS + turn, job.tenant)
  end
  save(job, { place = 'queue' })
end

-- Takes a job away from where it waits or runs.
local function leave(job)
  if job.place == 'queue' then
    redis.call('ZREM', queue(job), job.id)
    redis.call('HINCRBY', P .. 'waiting', job.size .. ':' .. job.priority, -1)
    if redis.call('EXISTS', queue(job)) == 0 then
      redis.call('ZREM', ring(job, job.priority), job.tenant)
    end
  elseif job.place == 'suspects' then
    redis.call('ZREM', P .. 'suspects:' .. job.size, job.id)
  elseif job.place == 'delayed' then
    redis.call('ZREM', P .. 'delayed', job.id)
  elseif job.place == 'leases' then
    redis.call('ZREM', P .. 'leases', job.id)
    run(job, -1)
    local suspect = job.lost >= SUSPECT and redis.call('GET', P .. 'suspect:' .. job.size)
    if suspect == job.id then
      redis.call('DEL', P .. 'suspect:' .. job.size)
      woken[job.size] = true
    end
  end
end

-- Before an end that no worker told: raises the fence, so that nothing counts any more that the
-- worker says which holds the job, and has it stop.
local function fence_off(job)
  if job.place == 'leases' then redis.call('PUBLISH', P .. 'stops', job.id) end
  save(job, { fence = job.fence + 1 })
end

-- Ends a job, for ever: with its entry of the outbox, and what goes back.
local function conclude(job, state, refund, changes)
  leave(job)
  changes.ended = now
  changes.kept = now + input.kept_ms
  if refund > 0 then changes.refunded = refund end
  show(job, state, changes)
  redis.call('HDEL', P .. 'job:' .. job.id, 'place', 'worker')
  redis.call('ZREM', P .. 'expiries', job.id)
  redis.call('ZADD', P .. 'kept', job.kept, job.id)
  if redis.call('HINCRBY', P .. 'pending', job.tenant, -1) == 0 then
    redis.call('HDEL', P .. 'pending', job.tenant)
  end
  if state == 'failed' then
    redis.call('PEXPIREAT', P .. 'spec:' .. job.id, job.kept + LATER)
  else
    redis.call('DEL', P .. 'spec:' .. job.id)
  end
  redis.call('PEXPIREAT', P .. 'hook:' .. job.id, job.kept + LATER)
  redis.call('XADD', P .. 'outbox', '*', 'job', job.id, 'tenant', job.tenant, 'state', state)
  if refund > 0 then
    redis.call('XADD', P .. 'refunds', '*', 'job', job.id, 'tenant', job.tenant,
               'client', job.client, 'model', job.model, 'version', job.version, 'units', refund)
  end
end

-- Keeps what came out of a job that ends now.
local function keep(job, ended)
  if ended.result ~= '' or ended.object_key ~= '' then
    redis.call('SET', P .. 'result:' .. job.id, ended.object_key .. '\n' .. ended.result,
               'PXAT', now + input.kept_ms + LATER)
  end
end

-- Of the price, what is missing to 100 % of the progress.
local function unused(job) return math.floor(job.units * (100 - job.progress) / 100) end

-- Moves what is delayed no longer to where it can be taken; how many.
local function ripen(most)
  local due = redis.call('ZRANGEBYSCORE', P .. 'delayed', '-inf', now, 'LIMIT', 0, most)
  for _, id in ipairs(due) do
    local job = read(id)
    leave(job)
    wait(job, 0)
  end
  return #due
end

local function wake()
  for size in pairs(woken) do redis.call('PUBLISH', P .. 'wake', size) end
end
