-- Keeps results, tells whoever waits for them, and only then forgets the messages that called for them.
-- One that is no longer booked is somebody else's by now, and so is its result.
--
-- KEYS[1]  the hash of messages that were taken
-- KEYS[2]  the sorted set of their tags
-- ARGV[1]  how long results are kept, in seconds
-- ARGV[2]… of each message its tag, its result's key, which is also the channel's name, and its result;
--          the key is empty where there is none to be kept
-- Answer   for each of them whether it was booked, 1 or 0

local answer = {}
for at = 2, #ARGV, 3 do
  local tag, key, result = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local is_booked = redis.call('HEXISTS', KEYS[1], tag)
  answer[#answer + 1] = is_booked
  if is_booked == 1 then
    if key ~= '' then
      redis.call('SET', key, result, 'EX', ARGV[1])
      redis.call('PUBLISH', key, result)
    end
    redis.call('HDEL', KEYS[1], tag)
    redis.call('ZREM', KEYS[2], tag)
  end
end
return answer
