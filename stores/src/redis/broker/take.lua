-- Takes messages out of lists and books them as taken, in one act: whoever dies, none is ever in neither.
--
-- KEYS[1]  the hash of messages that were taken
-- KEYS[2]  the sorted set of their tags, by when they were taken
-- KEYS[3]… the lists, the most urgent first
-- ARGV[1]  now, in seconds
-- ARGV[2]  how many at most
-- ARGV[3]  what tags begin with; none of them was given before
-- ARGV[4]… for each list, what stands behind a message in the hash: by which way it goes back
-- Answer   for each message: its list, counted from 1, and the message

local MESSAGES_MAX = tonumber(ARGV[2])

local answer, count = {}, 0
for list = 3, #KEYS do
  while count < MESSAGES_MAX do
    local message = redis.call('RPOP', KEYS[list])
    if not message then
      break
    end
    count = count + 1
    local tag = ARGV[3] .. count
    redis.call('HSET', KEYS[1], tag, '[' .. message .. ARGV[list + 1])
    redis.call('ZADD', KEYS[2], ARGV[1], tag)
    answer[2 * count - 1] = tostring(list - 2)
    answer[2 * count] = message
  end
end
return answer
