#!lua flags=allow-oom
-- Gives jobs back that a worker does not finish because it stops: they wait at once, and the
-- attempt does not count. Guards by the fence.
--
-- input    { holds = { {id, fence}… } }
-- Returns  how many
local count = 0
for _, hold in ipairs(input.holds) do
  local job = read(hold.id)
  if job and job.place == 'leases' and job.fence == hold.fence then
    leave(job)
    save(job, { fence = job.fence + 1, attempts = job.attempts - 1 })
    wait(job, 0)
    count = count + 1
  end
end
wake()
return count
