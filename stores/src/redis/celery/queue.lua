-- How many messages lie in the lists of a queue, and a mark of the next one in each.
--
-- KEYS[1], ARGV: the first list; all of them. They are pushed to at the head and emptied from the tail.
-- Returns the number of all, then for each list the mark of its next message, or an empty one.

local depth = 0
local answer = { 0 }
for at, list in ipairs(ARGV) do
  depth = depth + redis.call('LLEN', list)
  local message = redis.call('LINDEX', list, -1)
  -- A message ends in its delivery tag, and no two have the same; the whole may be long.
  answer[at + 1] = message and redis.sha1hex(string.sub(message, -256)) or ''
end
answer[1] = depth
return answer
