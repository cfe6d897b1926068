-- The health of an AppConnectivity or an AppConnectivityTemplate: what its condition Ready says of the present spec.
-- Only what clears up by itself is Progressing: Degraded would fail the sync that is about to mend it.
local clears_up = {
  Adopting = true,
  NoEndpoints = true,
  Pending = true,
  RollingOut = true,
  ServiceNotFound = true,
  WaitingForAllows = true,
}

if obj.metadata.deletionTimestamp ~= nil then
  return {status = "Progressing", message = "The object is being deleted."}
end

local conditions = {}
for _, condition in ipairs(obj.status and obj.status.conditions or {}) do
  conditions[condition.type] = condition
end

local ready, connected = conditions.Ready, conditions.Connected
if ready == nil or ready.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "Waiting for the operator to look at this version of the spec."}
end
if ready.status ~= "True" then
  return {status = clears_up[ready.reason] and "Progressing" or "Degraded", message = ready.message}
end
-- What another namespace still has to declare is not for this one to mend: it is told, and holds nobody up.
if connected ~= nil and connected.status == "False" then
  return {status = "Healthy", message = connected.message}
end
return {status = "Healthy", message = ready.message}
