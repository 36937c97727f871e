-- Takes messages out of lists and books them as taken, in one act: whoever dies, none is ever in neither.
-- Each is booked before it leaves its list, so that an error between loses none; and its tag first, for
-- one behind which nothing stands is cleared away by whoever looks.
--
-- KEYS[1]  the hash of messages that were taken
-- KEYS[2]  the sorted set of their tags, by when they were taken
-- KEYS[3]… the lists, the most urgent first
-- ARGV[1]  now, in seconds
-- ARGV[2]  how many at most
-- ARGV[3]  after how many bytes none is taken any more
-- ARGV[4]  how many bytes of a message are answered
-- ARGV[5]  what tags begin with; none of them was given before
-- ARGV[6]… for each list, what stands behind a message in the hash: by which way it goes back
-- Answer   for each message: its list, counted from 1, and the message, or, of one that is too long, how
--          many bytes it has

local MESSAGES_MAX, BYTES_MAX = tonumber(ARGV[2]), tonumber(ARGV[3])
local MESSAGE_MAX = tonumber(ARGV[4])

local answer, count, bytes = {}, 0, 0
for list = 3, #KEYS do
  while count < MESSAGES_MAX and bytes < BYTES_MAX do
    local message = redis.call('LINDEX', KEYS[list], -1)
    if not message then
      break
    end
    local tag = ARGV[5] .. (count + 1)
    redis.call('ZADD', KEYS[2], ARGV[1], tag)
    redis.call('HSET', KEYS[1], tag, '[' .. message .. ARGV[list + 3])
    redis.call('RPOP', KEYS[list])
    count, bytes = count + 1, bytes + #message
    answer[2 * count - 1] = list - 2
    answer[2 * count] = #message > MESSAGE_MAX and #message or message
  end
end
return answer
