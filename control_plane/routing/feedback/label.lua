-- Attaches the truth to a prediction of a tenant. Guards that of several labels for one prediction,
-- given at once or one after the other, each takes the place of the one before it and no sum holds
-- two of them: who gives a label adds what the answer says, and nothing else.
--
-- KEYS  1 prediction (hash)  2 labels of the tenant today  3 labels of the tenant that count in the
--       stage of a rollout; none if the prediction is not compared
-- ARGV  1 score, millionths  2 labels a day at most  3 labels a stage at most
--       4 seconds that the number of a day is kept  5 seconds that the number of a stage is kept
-- Returns a status: 'unknown', 'capped' or 'taken', then
--         score of the label before, millionths, or -1
--         1 if the label counts in the stage, else 0

local before = redis.call('HMGET', KEYS[1], 'prediction', 'score', 'judged')
if not before[1] then
  return {'unknown', -1, 0}
end
local score, judged = tonumber(before[2] or '-1'), tonumber(before[3] or '0')
if score < 0 then
  local today = tonumber(redis.call('GET', KEYS[2]) or '0')
  if today >= tonumber(ARGV[2]) then
    return {'capped', -1, 0}
  end
  redis.call('SET', KEYS[2], today + 1, 'EX', ARGV[4])
  if KEYS[3] then
    local counted = tonumber(redis.call('GET', KEYS[3]) or '0')
    if counted < tonumber(ARGV[3]) then
      judged = 1
      redis.call('SET', KEYS[3], counted + 1, 'EX', ARGV[5])
    end
  end
end
redis.call('HSET', KEYS[1], 'score', ARGV[1], 'judged', judged)
return {'taken', score, judged}
