-- Which messages were taken so long ago that whoever took them must be gone. One process looks at a time,
-- workers of Celery among them: they hold the same lock.
--
-- KEYS[1]  the hash of messages that were taken
-- KEYS[2]  the sorted set of their tags, by when they were taken
-- KEYS[3]  the lock
-- ARGV[1]  taken until then, in seconds
-- ARGV[2]  how many at most
-- ARGV[3]  after how many bytes no more are told
-- ARGV[4]  how many bytes of what stands in the hash are told
-- ARGV[5]  and of what is longer, how many of its end
-- ARGV[6]  what the lock is held as
-- ARGV[7]  how long, in milliseconds, should its holder die
-- Answer   whether there may be more, 1 or 0, and of each message its tag, whether it is told whole, 1 or
--          0, and what stands in the hash; of what is too long its first byte and its end; nothing where
--          somebody else looks

local MESSAGES_MAX, BYTES_MAX = tonumber(ARGV[2]), tonumber(ARGV[3])
local WHOLE_MAX, END_MAX = tonumber(ARGV[4]), tonumber(ARGV[5])

-- Who holds it already has missed an answer, and goes on.
local holder = redis.call('GET', KEYS[3])
if holder and holder ~= ARGV[6] then
  return {}
end
redis.call('SET', KEYS[3], ARGV[6], 'PX', ARGV[7])

local tags = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, MESSAGES_MAX)
local answer, bytes = { #tags == MESSAGES_MAX and 1 or 0 }, 0
for _, tag in ipairs(tags) do
  if bytes >= BYTES_MAX then
    answer[1] = 1
    break
  end
  local booked = redis.call('HGET', KEYS[1], tag)
  if booked then
    local is_whole = #booked <= WHOLE_MAX
    if not is_whole then
      booked = string.sub(booked, 1, 1) .. string.sub(booked, -END_MAX)
    end
    answer[#answer + 1] = tag
    answer[#answer + 1] = is_whole and 1 or 0
    answer[#answer + 1] = booked
    bytes = bytes + #booked
  else
    redis.call('ZREM', KEYS[2], tag)
  end
end

-- Nothing is to be done: nobody needs to wait until the lock is let go.
if #answer == 1 then
  redis.call('DEL', KEYS[3])
end
return answer
