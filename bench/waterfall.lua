-- waterfall.lua: what bench/run.sh resp holds against Weir: the decision of bench/policy.yaml's feature
-- "metered" as people write it for Redis. A window of seven days that opens at its first use, then paid
-- credits; all or nothing; the answer has the shape of WEIR.CONSUME's. One hash for each customer, one
-- counter for decisions, and no more: no key that makes a repetition harmless, no journal, no receipt.
-- KEYS[1]: the customer's. ARGV: units, limit of the window, its seconds.
local asked, limit, per = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = tonumber(redis.call('TIME')[1])
local state = redis.call('HMGET', KEYS[1], 'opened', 'used', 'paid')
local opened, used, paid = tonumber(state[1]) or 0, tonumber(state[2]) or 0, tonumber(state[3]) or 0
if now >= opened + per then
    opened, used = now, 0
end
local included = math.min(asked, limit - used)
local rest = asked - included
local id = redis.call('INCR', 'decisions')
if rest > paid then
    return {'deny', id, 0, '0', 'insufficient_credits', -1}
end
redis.call('HSET', KEYS[1], 'opened', opened, 'used', used + included, 'paid', paid - rest)
local answer = {'allow', id, asked, tostring(rest), 'ok', -1}
if included > 0 then
    answer[#answer + 1] = {'included', included, '0'}
end
if rest > 0 then
    answer[#answer + 1] = {'paid', rest, tostring(rest)}
end
return answer
