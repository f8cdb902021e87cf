export * from "./behaviour.ts";
export { deliverIdentity } from "./delivered-identity.ts";
export { FaultyNetwork } from "./faulty-network.ts";
export { type FlashKeeper, FlashLog } from "./flash-log.ts";
export {
  createFleet,
  type Factory,
  type Fleet,
  type FleetOptions,
  type FleetStatus,
} from "./fleet.ts";
export { type FleetDescription, FleetFolder, type FleetMember } from "./fleet-folder.ts";
export {
  type FleetProcess,
  type FleetProcessOptions,
  startFleetProcess,
} from "./fleet-supervisor.ts";
export { PagePool } from "./page-pool.ts";
export { runSimulation, type SimulationOptions } from "./run-simulation.ts";
export { SimulatedComponent } from "./simulated-component.ts";
export { PowerLost, SimulatedFlash, simulatedSlots } from "./simulated-flash.ts";
export { type MachineOptions, type MachineStatus, SimulatedMachine } from "./simulated-machine.ts";
export { type ExchangeFault, StubAuthority, someFaults } from "./stub-authority.ts";
export { type ReceivedMessage, StubPlatform, sha256Of } from "./stub-platform.ts";
