#!lua
-- Takes jobs in: nothing is written where memory is full. Guards that an id is taken once, that
-- requests under one idempotency key make one job, and how many open jobs a tenant has.
--
-- input    { most, key_ms, jobs = { {id, tenant, client, model, version, task, size, priority,
--            units, spec, hook, start_at_ms, cancel_after_ms, key, digest}… } }
-- Returns  { { id, replayed } | { 'conflict' } | { 'full' }… }
local function taken(job)
  if redis.call('EXISTS', P .. 'job:' .. job.id) == 1 then return { job.id, 0 } end
  local first = job.key ~= '' and redis.call('GET', P .. 'idem:' .. job.tenant .. ':' .. job.key)
  if first then
    local id, digest = string.match(first, '^(%S+) (.*)$')
    if digest ~= job.digest then return { 'conflict' } end
    return { id, 1 }
  end
  if (tonumber(redis.call('HGET', P .. 'pending', job.tenant)) or 0) >= input.most then
    return { 'full' }
  end
end

local function take(job)
  local kept = { id = job.id, tenant = job.tenant, size = job.size, priority = job.priority,
                 model = job.model, state = 'pending', lost = 0, revision = 1 }
  local facts = { created = now }
  for _, field in ipairs({ 'tenant', 'client', 'model', 'version', 'task', 'size', 'priority' }) do
    facts[field] = job[field]
  end
  facts.state, facts.revision, facts.units = 'pending', 1, job.units
  if job.start_at_ms > 0 then facts.start = job.start_at_ms end
  if job.cancel_after_ms > 0 then
    facts.expires = now + job.cancel_after_ms
    redis.call('ZADD', P .. 'expiries', facts.expires, job.id)
  end
  save(kept, facts)
  redis.call('SET', P .. 'spec:' .. job.id, job.spec)
  if job.hook ~= '' then redis.call('SET', P .. 'hook:' .. job.id, job.hook) end
  redis.call('ZADD', P .. 'of:' .. job.tenant, 0, job.id)
  redis.call('ZADD', shelf(kept), 0, job.id)
  redis.call('HINCRBY', P .. 'models:' .. job.tenant, job.model, 1)
  redis.call('HINCRBY', P .. 'pending', job.tenant, 1)
  if job.key ~= '' then
    redis.call('SET', P .. 'idem:' .. job.tenant .. ':' .. job.key, job.id .. ' ' .. job.digest,
               'PX', input.key_ms)
  end
  wait(kept, job.start_at_ms)
  return { job.id, 0 }
end

local replies = {}
for place, job in ipairs(input.jobs) do
  replies[place] = taken(job) or take(job)
end
wake()
return replies
