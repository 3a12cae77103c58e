-- Rights: which of the commands of the other scripts this user may not use. It changes nothing.
-- KEYS   meta, nodes, shards, as in common.lua.
--
-- Servers before Redis 7 cannot be asked: then none is named.

if not redis.acl_check_cmd then
  return {}
end
local missing, named = {}, {}
local function need(name, ...)
  if not named[name] and not redis.acl_check_cmd(name, ...) then
    named[name] = true
    missing[#missing + 1] = name
  end
end
need('INFO', 'server')
for _, key in ipairs(KEYS) do
  need('HGET', key, 'field')
  need('HGETALL', key)
  need('HEXISTS', key, 'field')
  need('HSET', key, 'field', 'value')
  need('HSETNX', key, 'field', 'value')
  need('HDEL', key, 'field')
end
return missing
