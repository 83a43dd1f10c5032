-- Decides rate, concurrency and quota of one subject together, reserves what it grants under
-- permits that lapse, and takes in what became of earlier permits. One call is one atomic step.
--
-- KEYS    1 state (hash)  2 permits (hash)  3 expiry (sorted set)  4 prefix of the usage hashes
-- ARGV[1] MessagePack, see ledger.py:
--   { repeated, interval_us, burst, concurrency, month_units, day_units, bills, idle_s,
--     { report… }, { demand… } }
--   report  { permit, used, settled, confirmed, returned, field, requests, errors, compute_us }
--           totals of the permit so far, then what to add to the usage; told twice, it counts once;
--           returned -1: whatever was granted, of a permit whose answer was lost
--   demand  { permit, client, now, ahead, cost, units, holds_slot, ttl_ms, offence, owed }
--           owed: of an earlier time without this server; recorded, never refused
-- Returns { now_us, us until the rate is whole, held, units of the day, units of the month,
--           { granted now, granted ahead, reason, retry_us, soft }… }
--
-- State:  tat       theoretical arrival time of the generic cell rate algorithm, µs
--         slots     requests in flight, those granted ahead included
--         held      rate granted ahead and not used yet
--         next      when the first permit lapses, µs; 0 for none
--         day, du   day and its units;  month, mu  month and its units;  m:<month> units of others
--         block, b:<client>   "<level>;<until_us>", set by rules and operators
--         c:<client>          "<score>;<at_ms>;<level>;<until_ms>;<limited_ms>"
--         l:<client>          second of the latest settled call
-- Permit: "<granted>;<used>;<settled>;<returned>;<confirmed>;<cost>;<units>;<hour>;<open>;<slot>"

local RATE, CONCURRENCY, QUOTA_MONTH, QUOTA_DAY, BLOCKED = 1, 2, 3, 4, 5
local AHEAD_SHARE = 64       -- what is granted ahead is at most this part of what is left
local LATE_US = 3600e6       -- how long a lapsed permit can still be settled
local KEEP_S = 34560000      -- how long usage is kept: 400 days
local OFFENCES = 20000       -- score (thousandths) at which a client is blocked
local LEAK_PER_MS = 1 / 3    -- score that time takes away
local AMENDS = 250           -- score that a good request takes away
local LIMITED = 1000         -- score of going on over the limit, once a second
local CALM_MS = 60000        -- time without a block that takes a level away
local MAX_LEVEL = 12         -- 2^12 s are 68 minutes
local SOFT = 4               -- a soft block leaves this part of every limit

local function civil(seconds)
  local days = math.floor(seconds / 86400)
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524)
                          - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  local hour = math.floor((seconds - days * 86400) / 3600)
  return string.format('%04d%02d%02d%02d', year, month, day, hour)
end

local function whole(number) return string.format('%.0f', number) end

local input = cmsgpack.unpack(ARGV[1])
local repeated, interval, burst, concurrency = input[1], input[2], input[3], input[4]
local month_units, day_units, bills, idle_s = input[5], input[6], input[7], input[8]
local reports, demands = input[9], input[10]

local clock = redis.call('TIME')
local now = clock[1] * 1e6 + clock[2]
local now_ms = math.floor(now / 1000)
local hour = civil(tonumber(clock[1]))
local today, this_month = string.sub(hour, 1, 8), string.sub(hour, 1, 6)

local names = { 'tat', 'slots', 'held', 'next', 'day', 'du', 'month', 'mu', 'block' }
local place = {}
local function ask_of(client)
  if not place[client] then
    place[client] = #names + 1
    names[#names + 1] = 'b:' .. client
    names[#names + 1] = 'c:' .. client
  end
end
for _, demand in ipairs(demands) do ask_of(demand[2]) end
for _, report in ipairs(reports) do ask_of(string.match(report[6], '^[^|]*')) end
local state = redis.call('HMGET', KEYS[1], unpack(names))
local tat, slots = tonumber(state[1]) or 0, tonumber(state[2]) or 0
local held, next_lapse = tonumber(state[3]) or 0, tonumber(state[4]) or 0
local day, du = state[5] or today, tonumber(state[6]) or 0
local month, mu = state[7] or this_month, tonumber(state[8]) or 0
local changed = {}
local function set(name, value)
  changed[#changed + 1] = name
  changed[#changed + 1] = value
end

if day < today then day, du = today, 0 end
if month < this_month then
  redis.call('HSET', KEYS[1], 'm:' .. month, whole(mu))
  month, mu = this_month, tonumber(redis.call('HGET', KEYS[1], 'm:' .. this_month)) or 0
end

local function add_units(of_hour, units)
  if units == 0 then return end
  if string.sub(of_hour, 1, 8) == day then du = du + units end
  if string.sub(of_hour, 1, 6) == month then
    mu = mu + units
  else
    redis.call('HINCRBY', KEYS[1], 'm:' .. string.sub(of_hour, 1, 6), whole(units))
  end
end

local function read_permit(id)
  local packed = redis.call('HGET', KEYS[2], id)
  if not packed then return nil end
  local granted, used, settled, returned, confirmed, cost, units, of_hour, open, slot =
    string.match(packed, '^(%d+);(%d+);(%d+);(%d+);(%d+);(%d+);(%d+);(%d+);(%d);(%d)$')
  return { granted = tonumber(granted), used = tonumber(used), settled = tonumber(settled),
           returned = tonumber(returned), confirmed = tonumber(confirmed), cost = tonumber(cost),
           units = tonumber(units), hour = of_hour, open = open == '1', slot = tonumber(slot) }
end

local function write_permit(id, p)
  redis.call('HSET', KEYS[2], id, string.format('%.0f;%.0f;%.0f;%.0f;%.0f;%.0f;%.0f;%s;%d;%d',
    p.granted, p.used, p.settled, p.returned, p.confirmed, p.cost, p.units, p.hour,
    p.open and 1 or 0, p.slot))
end

local function count_usage(of_hour, field, units, report)
  local bucket = KEYS[4] .. string.sub(of_hour, 1, 8)
  local row = string.sub(of_hour, 9, 10) .. '|' .. field .. '|'
  local function add(measure, amount)
    if amount == 0 then return end
    local total = redis.call('HINCRBY', bucket, row .. measure, whole(amount))
    if measure == 'r' and total == amount then redis.call('EXPIRE', bucket, KEEP_S) end
  end
  add('u', units)
  add('r', report[7])
  add('e', report[8])
  add('c', report[9])
end

-- Permits of processes that are gone: what they held goes back.
if next_lapse > 0 and now >= next_lapse then
  for _, id in ipairs(redis.call('ZRANGE', KEYS[3], '-inf', whole(now), 'BYSCORE', 'LIMIT', 0, 256)) do
    local p = read_permit(id)
    if p and p.open then
      local left = p.granted - p.settled - p.returned
      slots = slots - left * p.slot
      held = held - (p.granted - p.used - p.returned) * p.cost
      add_units(p.hour, -left * p.units)
      p.open = false
      write_permit(id, p)
      redis.call('ZADD', KEYS[3], whole(now + LATE_US), id)
    else
      redis.call('HDEL', KEYS[2], id)
      redis.call('ZREM', KEYS[3], id)
    end
  end
  local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
  next_lapse = tonumber(first[2]) or 0
end

local amends = {}
for _, report in ipairs(reports) do
  local id, used, settled, confirmed, returned =
    report[1], report[2], report[3], report[4], report[5]
  local p = read_permit(id)
  if p and returned < 0 then used, settled, returned = p.used, p.used, p.granted - p.used end
  if p and used + settled + returned > p.used + p.settled + p.returned then
    local spent = used - p.used
    if spent > 0 then tat = math.max(tat, now) + spent * p.cost * interval end
    if p.open then
      slots = slots - (settled - p.settled + returned - p.returned) * p.slot
      held = held - (spent + returned - p.returned) * p.cost
      local failed = (settled - confirmed) - (p.settled - p.confirmed)
      add_units(p.hour, -(failed + returned - p.returned) * p.units)
    else
      add_units(p.hour, (confirmed - p.confirmed) * p.units)
    end
    if idle_s == 0 then
      count_usage(p.hour, report[6], (confirmed - p.confirmed) * p.units, report)
    end
    local client = string.match(report[6], '^[^|]*')
    amends[client] = (amends[client] or 0) + (confirmed - p.confirmed) * AMENDS
    if report[7] > 0 then set('l:' .. client, clock[1]) end
    p.used, p.settled, p.confirmed, p.returned = used, settled, confirmed, returned
    if settled + returned >= p.granted then
      redis.call('HDEL', KEYS[2], id)
      redis.call('ZREM', KEYS[3], id)
    else
      write_permit(id, p)
    end
  end
end

local function block_of(packed)
  local level, till = string.match(packed or '', '^(%a+);(%d+)')
  till = tonumber(till) or 0
  if till > now then return level, till end
end

local function penalty_of(packed)
  local score, at, level, till, limited = string.match(packed or '', '^(%d+);(%d+);(%d+);(%d+);(%d+)$')
  local p = { score = tonumber(score) or 0, level = tonumber(level) or 0,
              till = tonumber(till) or 0, limited = tonumber(limited) or 0 }
  p.score = math.max(0, p.score - math.max(0, now_ms - (tonumber(at) or now_ms)) * LEAK_PER_MS)
  return p
end

local subject_level, subject_till = block_of(state[9])
local penalties = {}
local function penalty_for(client)
  local penalty = penalties[client]
  if not penalty then
    penalty = penalty_of(state[place[client] + 1])
    penalty.was = state[place[client] + 1]
    penalty.score = math.max(0, penalty.score - (amends[client] or 0))
    penalties[client] = penalty
  end
  return penalty
end
for client in pairs(amends) do penalty_for(client) end

local answers = {}
for index, demand in ipairs(demands) do
  local id, client, wanted, ahead, cost, units, slot, ttl_ms, offence, owed =
    demand[1], demand[2], demand[3], demand[4], demand[5], demand[6], demand[7], demand[8],
    demand[9], demand[10] == 1
  local level, till = block_of(state[place[client]])
  if subject_level and (subject_level == 'hard' or not level) then
    level, till = subject_level, subject_till
  end
  local penalty = penalty_for(client)
  local granted, spare, reason, retry = 0, 0, 0, 0
  local earlier = (repeated == 1 or owed) and wanted + ahead > 0 and read_permit(id)
  if earlier then
    granted, spare = earlier.used, earlier.granted - earlier.used
  elseif level == 'hard' and not owed then
    reason, retry = BLOCKED, till - now
  elseif penalty.till > now_ms and not owed then
    reason, retry = BLOCKED, penalty.till * 1000 - now
  else
    local part = level == 'soft' and SOFT or 1
    local step = interval * part
    local most = math.max(1, math.floor(burst / part))
    local base = math.max(tat, now)
    local by_rate, by_slots, by_quota = 1e15, 1e15, 1e15
    if cost > 0 and not owed then by_rate = math.floor(((now - base) / step + most - held + 1e-6) / cost) end
    if slot > 0 and not owed then by_slots = math.max(1, math.floor(concurrency / part)) - slots end
    local tight = QUOTA_MONTH
    if units > 0 and bills == 0 and not owed then
      if month_units >= 0 then by_quota = math.floor((month_units - mu) / units) end
      if day_units >= 0 and math.floor((day_units - du) / units) < by_quota then
        by_quota, tight = math.floor((day_units - du) / units), QUOTA_DAY
      end
    end
    local able = math.min(by_rate, by_slots, by_quota)
    granted = math.max(0, math.min(wanted, able))
    if ahead > 0 and level ~= 'soft' then
      spare = math.max(0, math.min(ahead, math.floor((able - granted) / AHEAD_SHARE)))
    end
    if granted < wanted then
      if by_rate <= granted then
        reason = RATE
        retry = base + (granted + 1) * cost * step - (most - held) * step - now
      elseif by_slots <= granted then
        reason, retry = CONCURRENCY, 1e6
      else
        reason = tight
      end
    end
    tat = granted > 0 and cost > 0 and base + granted * cost * step or tat
    if granted + spare > 0 then
      local p = { granted = granted + spare, used = granted, settled = 0, returned = 0,
                  confirmed = 0, cost = cost, units = units, hour = hour, open = true,
                  slot = slot }
      write_permit(id, p)
      local lapse = now + ttl_ms * 1000
      redis.call('ZADD', KEYS[3], whole(lapse), id)
      if next_lapse == 0 or lapse < next_lapse then next_lapse = lapse end
      slots = slots + (granted + spare) * slot
      held = held + spare * cost
      add_units(hour, (granted + spare) * units)
    end
    if reason == RATE and now_ms - penalty.limited >= 1000 then
      offence = offence + LIMITED
      penalty.limited = now_ms
    end
    if offence > 0 then
      penalty.score = penalty.score + offence
      if penalty.score >= OFFENCES then
        local calm = math.floor((now_ms - penalty.till) / CALM_MS)
        local from = math.max(0, penalty.level - calm)
        penalty.till = now_ms + 1000 * 2 ^ from
        penalty.level = math.min(MAX_LEVEL, from + 1)
        penalty.score = OFFENCES / 2
      end
    end
  end
  answers[index] = { granted, spare, reason, math.max(0, math.ceil(retry)), level == 'soft' and 1 or 0 }
end

for client, penalty in pairs(penalties) do
  local packed = false
  if penalty.score > 0 or penalty.till > now_ms - CALM_MS * MAX_LEVEL then
    packed = string.format('%.0f;%.0f;%.0f;%.0f;%.0f', penalty.score, now_ms, penalty.level,
      penalty.till, penalty.limited)
  end
  if packed then
    set('c:' .. client, packed)
  elseif penalty.was then
    redis.call('HDEL', KEYS[1], 'c:' .. client)
  end
end

set('tat', string.format('%.3f', tat))
set('slots', whole(slots))
set('held', whole(held))
set('next', whole(next_lapse))
set('day', day)
set('du', whole(du))
set('month', month)
set('mu', whole(mu))
redis.call('HSET', KEYS[1], unpack(changed))
if idle_s > 0 then
  -- Never sooner than it would: a block may have to outlive the calls.
  for key = 1, 3 do
    if redis.call('TTL', KEYS[key]) < idle_s then redis.call('EXPIRE', KEYS[key], idle_s) end
  end
end

return { now, math.ceil(math.max(tat, now) - now), held, du, mu, answers }
