-- What each script begins with. The scripts do what core/ownership/registry.rs says; a test compares the two.
--
-- KEYS   meta, nodes, shards: three hashes in one slot.
--   meta   version (decimal), secret, shards (how many there are), since:<incarnation> (the version with which a
--          member has become one)
--   nodes  incarnation (16 hexadecimal digits) -> lease
--   shards shard (decimal) -> home
-- Each hash has a field `born` as well, a random token from when the hash was made. A hash that was evicted
-- or deleted has another one afterwards.
-- ARGV[1] is the token for a hash that has none.
--
-- Values are compared byte by byte: numbers in them have 64 bits, a number in Lua has 53.

local meta, nodes, shards = KEYS[1], KEYS[2], KEYS[3]

-- The next argument, from the second on.
local at = 1
local function take()
  at = at + 1
  return ARGV[at]
end

-- Whether the bytes of one number are higher than those of another of the same length.
local function higher(one, other)
  for i = 1, #one do
    local a, b = one:byte(i), other:byte(i)
    if a ~= b then
      return a > b
    end
  end
  return false
end

-- Fields of a lease, by their places in its head.
local function counter_of(lease)
  return lease:sub(2, 9)
end
local function name_of(lease)
  return lease:sub(27, 26 + lease:byte(26))
end

-- Fields of a home. Of a vacant shard the node is zero.
local function number_of(home)
  return home:sub(2, 9)
end
local function epoch_of(home)
  return home:sub(2, 17)
end
local NO_NODE = string.rep('0', 16)
local function node_of(home)
  return (home:sub(18, 25):gsub('.', function(byte)
    return string.format('%02x', byte:byte())
  end))
end

-- All fields of a hash but `born`.
local function entries(key)
  local found = {}
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    if all[i] ~= 'born' then
      found[#found + 1] = all[i]
      found[#found + 1] = all[i + 1]
    end
  end
  return found
end

local function version()
  return tonumber(redis.call('HGET', meta, 'version') or '0')
end
-- Two to the power of 53, less one: the highest version.
local VERSION_MAX = 9007199254740991
-- The field of the version with which a node has become a member.
local function since(incarnation)
  return 'since:' .. incarnation
end
local function set_version(to)
  redis.call('HSET', meta, 'version', string.format('%.0f', math.min(to, VERSION_MAX)))
end

-- A replica would answer from a past.
local replication = redis.call('INFO', 'replication')
if not replication:find('role:master', 1, true) then
  return redis.error_reply('READONLY this is a replica')
end
-- Which life of the store this is: of the process, of its history, of each hash.
local run = redis.call('INFO', 'server'):match('run_id:(%x+)')
  .. replication:match('master_replid:(%x+)')
for _, key in ipairs(KEYS) do
  local born = redis.call('HGET', key, 'born')
  if not born then
    born = ARGV[1]
    redis.call('HSET', key, 'born', born)
  end
  run = run .. born
end
local count = redis.call('HGET', meta, 'shards')
if not count then
  count = '1024'
  redis.call('HSET', meta, 'shards', count)
end

-- An answer: which life, how many shards, then what the call is answered.
local function answer(...)
  return { run, count, ... }
end
-- The same with what every node is told.
local function answer_all(word, ...)
  local now = redis.call('HGET', meta, 'version') or '0'
  local secret = redis.call('HGET', meta, 'secret') or ''
  return answer(word, now, secret, entries(nodes), ...)
end
