"""The ledger's transitions as Lua: each happens whole or not at all, whatever else is going on in Redis."""

# KEYS all that a script may make, then the set of active submissions; ARGV ends with submission and seconds to live.
# What comes late, when a submission is retired or forgotten, makes no key that stays for ever.
PASS_AWAY = """
local function pass_away()
    if redis.call('SISMEMBER', KEYS[#KEYS], ARGV[#ARGV - 1]) == 0 then
        for place = 1, #KEYS - 1 do
            redis.call('EXPIRE', KEYS[place], ARGV[#ARGV], 'NX')
        end
    end
end
"""

# KEYS done quarantined reasons faults starts sent notes; ARGV ordinal, reason or '', notes or ''
END = """
if redis.call('GETBIT', KEYS[1], ARGV[1]) == 1 or redis.call('GETBIT', KEYS[2], ARGV[1]) == 1 then
    return 0
end
if ARGV[2] == '' then
    redis.call('SETBIT', KEYS[1], ARGV[1], 1)
else
    redis.call('SETBIT', KEYS[2], ARGV[1], 1)
    redis.call('HINCRBY', KEYS[3], ARGV[2], 1)
    redis.call('HSET', KEYS[4], ARGV[1], ARGV[2])
end
if ARGV[3] ~= '' then
    redis.call('HSET', KEYS[7], ARGV[1], ARGV[3])
end
redis.call('HDEL', KEYS[5], ARGV[1])
redis.call('HDEL', KEYS[6], ARGV[1])
pass_away()
return 1
"""

# KEYS done quarantined starts cancelled; ARGV ordinal, token; -1 cancelled, 0 ended, else which start this is.
# The tokens of all starts are kept: one that is sent again after a lost answer is the same start, and each is given
# back by itself, also when an image was delivered twice and is in two workers' hands.
START = """
if redis.call('EXISTS', KEYS[4]) == 1 then
    return -1
end
if redis.call('GETBIT', KEYS[1], ARGV[1]) == 1 or redis.call('GETBIT', KEYS[2], ARGV[1]) == 1 then
    return 0
end
local tokens = redis.call('HGET', KEYS[3], ARGV[1]) or ''
if not string.find(tokens, ARGV[2], 1, true) then
    tokens = tokens .. ARGV[2] .. ' '
    redis.call('HSET', KEYS[3], ARGV[1], tokens)
end
pass_away()
local _, number = string.gsub(tokens, ' ', '')
return number
"""

# KEYS sent; ARGV time, ordinals
NOTE_SENT = """
for place = 2, #ARGV - 2 do
    redis.call('HSET', KEYS[1], ARGV[place], ARGV[1])
end
pass_away()
"""

# KEYS due; ARGV time, job, most, seconds to live; 0 when there are so many that this one is not to wait
PUT_OFF = """
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then
    return 0
end
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""

# KEYS starts; ARGV ordinal, token
GIVE_BACK = """
local tokens = redis.call('HGET', KEYS[1], ARGV[1]) or ''
local others = string.gsub(tokens, ARGV[2] .. ' ', '')
if others == '' then
    redis.call('HDEL', KEYS[1], ARGV[1])
else
    redis.call('HSET', KEYS[1], ARGV[1], others)
end
"""

# KEYS done quarantined reasons faults, said done, said quarantined, said faults; ARGV reasons of finished pages, each
# with its count. What S3 says of finished pages holds. Of the others it says only which images were about to be
# quarantined: what is done stays done. Reasons are counted anew, so that none that came meanwhile is left out.
MERGE = """
local function take_away(from, which)
    redis.call('BITOP', 'AND', KEYS[5], from, which)
    redis.call('BITOP', 'XOR', from, from, KEYS[5])
end
redis.call('BITOP', 'OR', KEYS[1], KEYS[1], KEYS[5])
redis.call('BITOP', 'OR', KEYS[2], KEYS[2], KEYS[6])
take_away(KEYS[1], KEYS[6])
take_away(KEYS[2], KEYS[1])
local said = redis.call('HGETALL', KEYS[7])
for place = 1, #said, 2 do
    if redis.call('GETBIT', KEYS[1], said[place]) == 0 then
        redis.call('SETBIT', KEYS[2], said[place], 1)
        redis.call('HSETNX', KEYS[4], said[place], said[place + 1])
    end
end
redis.call('DEL', KEYS[3])
for place = 1, #ARGV, 2 do
    redis.call('HINCRBY', KEYS[3], ARGV[place], ARGV[place + 1])
end
local faults = redis.call('HGETALL', KEYS[4])
for place = 1, #faults, 2 do
    local final = redis.call('GETBIT', KEYS[6], faults[place]) == 1
    if final or redis.call('GETBIT', KEYS[2], faults[place]) == 0 then
        redis.call('HDEL', KEYS[4], faults[place])
    else
        redis.call('HINCRBY', KEYS[3], faults[place + 1], 1)
    end
end
redis.call('DEL', KEYS[5], KEYS[6], KEYS[7])
"""
