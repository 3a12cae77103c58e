-- Read: everything.

return answer_all('read', entries(shards))
