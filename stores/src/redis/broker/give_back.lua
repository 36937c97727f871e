-- Puts messages that were taken into lists again. One that is no longer booked was put back, or done
-- with, by somebody else: it is left alone, and so it is never in two places.
--
-- KEYS[1]  the hash of messages that were taken
-- KEYS[2]  the sorted set of their tags, by when they were taken
-- ARGV[1]  only what was taken until then, in seconds; `+inf`: whatever is booked
-- ARGV[2]  which end of a list: RPUSH, to be taken next, or LPUSH, to wait behind all others
-- ARGV[3]… of each message its tag, the list, and how it is to lie there
-- Answer   how many were put back

local UNTIL_S = ARGV[1] == '+inf' and math.huge or tonumber(ARGV[1])

local count = 0
for at = 3, #ARGV, 3 do
  local tag = ARGV[at]
  local taken_at = tonumber(redis.call('ZSCORE', KEYS[2], tag) or '0')
  if taken_at <= UNTIL_S and redis.call('HDEL', KEYS[1], tag) == 1 then
    redis.call('ZREM', KEYS[2], tag)
    redis.call(ARGV[2], ARGV[at + 1], ARGV[at + 2])
    count = count + 1
  end
end
return count
