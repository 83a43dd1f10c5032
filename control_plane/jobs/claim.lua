#!lua flags=allow-oom
-- Gives waiting jobs to a worker, each with a lease and a fence of its own. Guards that a job is in
-- one worker's hands at a time, and the order: of the priorities that have jobs waiting 8, 4 and 1
-- of 13 turns, then the tenant with the fewest running jobs, then the longest unserved one.
--
-- input    { worker, size, count, lease_ms }
-- Returns  { { fields of the job, spec, id }… }
local RIPE = 100
local TURNS = { 0, 1, 0, 0, 1, 0, 2, 0, 1, 0, 0, 1, 0 }

local turn = tonumber(redis.call('GET', P .. 'turn:' .. input.size)) or 0
local taken = {}

local function take(job)
  leave(job)
  redis.call('ZADD', P .. 'leases', now + input.lease_ms, job.id)
  local changes = { place = 'leases', worker = input.worker, fence = job.fence + 1,
                    attempts = job.attempts + 1 }
  if job.started == 0 then changes.started = now end
  show(job, 'processing', changes)
  taken[#taken + 1] = { redis.call('HGETALL', P .. 'job:' .. job.id),
                        redis.call('GET', P .. 'spec:' .. job.id) or '', job.id }
  return run(job, 1)
end

local function take_suspect()
  local id = redis.call('ZRANGE', P .. 'suspects:' .. input.size, 0, 0)[1]
  if id and redis.call('SET', P .. 'suspect:' .. input.size, id, 'NX') then take(read(id)) end
end

-- The priority whose turn it is, and its first tenant.
local function choose()
  local empty = {}
  for step = 0, #TURNS - 1 do
    local place = (turn + step) % #TURNS
    local priority = TURNS[place + 1]
    if not empty[priority] then
      local first = redis.call('ZRANGE', P .. 'ring:' .. input.size .. ':' .. priority, 0, 0)[1]
      if first then
        turn = (place + 1) % #TURNS
        return priority, first
      end
      empty[priority] = true
    end
  end
end

ripen(RIPE)
take_suspect()
while #taken < input.count do
  local priority, tenant = choose()
  if not priority then break end
  local waits = P .. 'queue:' .. input.size .. ':' .. priority .. ':' .. tenant
  local job = read(redis.call('ZRANGE', waits, 0, 0)[1])
  local running = take(job)
  local served = running * RUNS + redis.call('INCR', P .. 'served')
  redis.call('ZADD', ring(job, priority), 'XX', served, tenant)
end
if #taken > 0 then redis.call('SET', P .. 'turn:' .. input.size, turn) end
wake()
return taken
