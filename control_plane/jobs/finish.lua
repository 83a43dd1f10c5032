#!lua flags=allow-oom
-- Ends jobs as their workers say. Guards by the fence; the same end told again by who made it is
-- true again, since the first reply may have been lost.
--
-- input    { kept_ms, ends = { {id, fence, state, result, refund, error_code, object_key}… } }
-- Returns  { 1 ended so | 0 held no more… }
local told = {}
for place, ended in ipairs(input.ends) do
  local job = read(ended.id)
  local mine = job and job.fence == ended.fence
  told[place] = mine and job.state == ended.state and 1 or 0
  if mine and job.place == 'leases' then
    keep(job, ended)
    if ended.state == 'completed' then
      conclude(job, 'completed', math.min(ended.refund, job.units), { progress = 100 })
    else
      conclude(job, 'failed', job.units, { error = ended.error_code })
    end
    told[place] = 1
  end
end
wake()
return told
