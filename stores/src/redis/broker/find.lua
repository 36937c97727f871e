-- What is booked by tags, of as many of them as there is room for in one answer: at least one.
--
-- KEYS[1]  the hash of messages that were taken
-- ARGV[1]  how many bytes of a message are answered
-- ARGV[2]  how many bytes of all are
-- ARGV[3]  how many queues there are
-- ARGV[4]… what stands behind a message in the hash, by queue; then the tags
-- Answer   for each tag the queue, counted from 1, or 0 where no message of ours is booked, and the
--          message, or, of one that is too long, how many bytes it has

local MESSAGE_MAX, BYTES_MAX = tonumber(ARGV[1]), tonumber(ARGV[2])
local LAST_ENDING = 3 + tonumber(ARGV[3])

local answer, bytes = {}, 0
for at = LAST_ENDING + 1, #ARGV do
  local queue, message = 0, ''
  local booked = redis.call('HGET', KEYS[1], ARGV[at])
  if booked then
    queue, message = inside(booked, 4, LAST_ENDING)
    queue, message = queue or 0, message or ''
  end
  if #message > MESSAGE_MAX then
    message = #message
  else
    bytes = bytes + #message
  end
  if bytes > BYTES_MAX and #answer > 0 then
    break
  end
  answer[#answer + 1] = queue
  answer[#answer + 1] = message
end
return answer
