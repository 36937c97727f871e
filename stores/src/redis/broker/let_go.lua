-- Lets the lock of whoever looks for what was taken too long ago go, where it is still held.
--
-- KEYS[1]  the lock
-- ARGV[1]  what it is held as

if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return redis.status_reply('OK')
