-- Change: checks everything, then writes everything and counts the version up; or it writes nothing.
-- Arguments: the caller's incarnation; the incarnation to add or '', its lease or ''; then three lists, each
-- with its length in front: incarnation and counter that stands still; incarnation to remove; shard, epoch
-- that was read or '', new home or ''.

local by, added, lease = take(), take(), take()
local NODES_MAX = 256

local function refused(why, what)
  return answer('refused', why, what or '')
end

if added ~= '' and redis.call('HEXISTS', nodes, added) == 1 then
  return refused('already-member')
end
if by ~= added and redis.call('HEXISTS', nodes, by) == 0 then
  return refused('not-member')
end

for _ = 1, tonumber(take()) do
  local node, counter = take(), take()
  local stored = redis.call('HGET', nodes, node)
  if not stored or counter_of(stored) ~= counter then
    return refused('moved', node)
  end
end

local removed = {}
for _ = 1, tonumber(take()) do
  removed[take()] = true
end

if added ~= '' then
  local members, staying, taken = entries(nodes), 0, false
  for i = 1, #members, 2 do
    if not removed[members[i]] then
      staying = staying + 1
      taken = taken or name_of(members[i + 1]) == name_of(lease)
    end
  end
  if staying >= NODES_MAX then
    return refused('full')
  end
  if taken then
    return refused('name-taken')
  end
end

local function is_member_after(node)
  if node == added then
    return true
  end
  return not removed[node] and redis.call('HEXISTS', nodes, node) == 1
end

local moves, order = {}, {}
for _ = 1, tonumber(take()) do
  local shard, read, home = take(), take(), take()
  local stored = redis.call('HGET', shards, shard)
  if (stored and epoch_of(stored) or '') ~= read then
    return refused('epoch-differs', shard)
  end
  if home ~= '' and node_of(home) ~= NO_NODE then
    local number = number_of(home)
    if not higher(number, stored and number_of(stored) or string.rep('\0', 8)) then
      return refused('not-newer', shard)
    end
    if not is_member_after(node_of(home)) then
      return refused('no-member', shard)
    end
  end
  moves[shard] = home
  order[#order + 1] = { shard, home }
end

if next(removed) then
  local left
  local map = entries(shards)
  for i = 1, #map, 2 do
    local shard, node = map[i], node_of(map[i + 1])
    if removed[node] and node ~= added and not moves[shard] then
      if not left or tonumber(shard) < tonumber(left) then
        left = shard
      end
    end
  end
  if left then
    return refused('left-behind', left)
  end
end

for node in pairs(removed) do
  redis.call('HDEL', nodes, node)
  redis.call('HDEL', meta, since(node))
end
if added ~= '' then
  redis.call('HSET', nodes, added, lease)
end
for _, move in ipairs(order) do
  if move[2] ~= '' then
    redis.call('HSET', shards, move[1], move[2])
  end
end
set_version(version() + 1)
if added ~= '' then
  redis.call('HSET', meta, since(added), redis.call('HGET', meta, 'version'))
end
return answer('changed', redis.call('HGET', meta, 'version'))
