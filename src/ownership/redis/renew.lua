-- Renew: writes the caller's lease, unless it is late or the caller is no member.
-- Arguments: incarnation, lease, version that the lease names as read, '1' to rejoin, secret or '', then
-- pairs of shard and home to restore.

local incarnation, lease, read, rejoin, secret = take(), take(), tonumber(take()), take(), take()
local NODES_MAX = 256

local stored = redis.call('HGET', nodes, incarnation)
if not stored and (rejoin ~= '1' or #entries(nodes) / 2 >= NODES_MAX) then
  return answer('stranger')
end
if stored and not higher(counter_of(lease), counter_of(stored)) then
  return answer('late')
end

redis.call('HSET', nodes, incarnation, lease)
local changed = not stored
while at < #ARGV do
  local shard, home = take(), take()
  local known = redis.call('HGET', shards, shard)
  -- On a tie the map wins.
  if not known or higher(number_of(home), number_of(known)) then
    redis.call('HSET', shards, shard, home)
    changed = true
  end
end
-- A version that was read before the store went back is never given to another state.
local before = version()
if changed or read > before then
  set_version(math.max(before, read) + 1)
end
if not stored then
  redis.call('HSET', meta, since(incarnation), redis.call('HGET', meta, 'version'))
end
if secret ~= '' then
  redis.call('HSETNX', meta, 'secret', secret)
end
local became = redis.call('HGET', meta, since(incarnation)) or redis.call('HGET', meta, 'version')
return answer_all('renewed', became)
