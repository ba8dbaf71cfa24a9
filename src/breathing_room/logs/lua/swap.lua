-- Put a value into a field of a hash if it still holds what it held when we looked.
--
-- KEYS[1]  the hash
-- ARGV[1]  the field
-- ARGV[2]  what it held; empty for nothing
-- ARGV[3]  what it should hold; empty for nothing
--
-- Returns 1 if it was done, 0 if somebody else was faster.
--
-- Atomic, since two nodes that see the same need would else each set a rate of their own.
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
