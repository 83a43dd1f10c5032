#!lua flags=allow-oom
-- Renews leases and notes progress, which never goes back. Guards by the fence: who lost its job,
-- or whose job was ended by another, is told so.
--
-- input    { lease_ms, beats = { {id, fence, progress}… } }
-- Returns  { 1 held | 0 held no more… }
local held = {}
for place, beat in ipairs(input.beats) do
  local job = read(beat.id)
  held[place] = 0
  if job and job.place == 'leases' and job.fence == beat.fence then
    redis.call('ZADD', P .. 'leases', now + input.lease_ms, job.id)
    if beat.progress > job.progress then show(job, job.state, { progress = beat.progress }) end
    held[place] = 1
  end
end
return held
