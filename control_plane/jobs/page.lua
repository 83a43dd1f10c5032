#!lua flags=no-writes,allow-oom
-- Reads a page of jobs. Guards nothing, but sees all lists and jobs at one moment, so that no job
-- is left out that moves from one list to another.
--
-- input    { tenant = '' for dead letters, states = {} for all, model = '' for all,
--            high, low = ends of the range of ids, limit }
-- Returns  { { { id, fields }… }, 1 if there are more }
local function lists()
  if input.tenant == '' then return { 'dead' } end
  if #input.states == 0 then return { 'of:' .. input.tenant } end
  local found = {}
  local models = { input.model }
  if input.model == '' then models = redis.call('HKEYS', P .. 'models:' .. input.tenant) end
  for _, state in ipairs(input.states) do
    for _, model in ipairs(models) do
      found[#found + 1] = 'of:' .. input.tenant .. ':' .. state .. ':' .. model
    end
  end
  return found
end

local ids = {}
for _, list in ipairs(lists()) do
  local part = redis.call('ZREVRANGEBYLEX', P .. list, input.high, input.low,
                          'LIMIT', 0, input.limit + 1)
  for _, id in ipairs(part) do ids[#ids + 1] = id end
end
table.sort(ids, function(one, other) return one > other end)
local jobs = {}
for place = 1, math.min(#ids, input.limit) do
  jobs[place] = { ids[place], redis.call('HGETALL', P .. 'job:' .. ids[place]) }
end
return { jobs, #ids > input.limit and 1 or 0 }
