-- Return the keys with a prefix, and remove index entries whose values have expired.
--
-- KEYS[1]  the index: a sorted set, every score 0, so that its order is that of the bytes
-- ARGV[1]  where to begin, as ZRANGE BYLEX has it: "[prefix", or "-" for the first
-- ARGV[2]  where to end: "(prefix\xff", or "+" for the last
-- ARGV[3]  the prefix of the Redis keys that hold the values
--
-- Returns the keys, in order.
--
-- Atomic: a put between the check of a value and the removal of its entry would lose that entry.
local live = {}
for _, key in ipairs(redis.call("ZRANGE", KEYS[1], ARGV[1], ARGV[2], "BYLEX")) do
  if redis.call("EXISTS", ARGV[3] .. key) == 1 then
    live[#live + 1] = key
  else
    redis.call("ZREM", KEYS[1], key)
  end
end
return live
