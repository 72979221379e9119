-- consume.lua: wrk's side of bench/run.sh: POST of one feature's consume for customers in turn.
-- Arguments: path, feature, customers. Requests are made before the clock runs, for every server alike.
local requests = {}
local turn = 0

function init(arguments)
    local path, feature, customers = arguments[1], arguments[2], tonumber(arguments[3])
    local headers = {["Content-Type"] = "application/json"}
    for number = 1, customers do
        local body = string.format(
            '{"customer":"customer-%06d","feature":"%s","quantities":{"requests":1}}', number, feature)
        requests[number] = wrk.format("POST", path, headers, body)
    end
end

-- A stride without common factor with the count visits all, and neighbours never follow each other.
function request()
    turn = (turn + 7919) % #requests
    return requests[turn + 1]
end
