-- Which messages are still booked.
--
-- KEYS[1]  the hash of messages that were taken
-- ARGV[…]  their tags
-- Answer   for each of them 1 or 0

local answer = {}
for at, tag in ipairs(ARGV) do
  answer[at] = redis.call('HEXISTS', KEYS[1], tag)
end
return answer
