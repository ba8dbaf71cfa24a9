-- Set a field of a hash if it still has the value that was read (compare and set).
--
-- KEYS[1]  the hash
-- ARGV[1]  the field
-- ARGV[2]  the value that was read; empty for none
-- ARGV[3]  the value to set; empty for none
--
-- Returns 1 if it was set, 0 if another replica set it before.
--
-- Atomic: two replicas that propose a rate at the same time would otherwise each set its own.
local held = redis.call("HGET", KEYS[1], ARGV[1]) or ""
if held ~= ARGV[2] then
  return 0
end
if ARGV[3] == "" then
  redis.call("HDEL", KEYS[1], ARGV[1])
else
  redis.call("HSET", KEYS[1], ARGV[1], ARGV[3])
end
return 1
