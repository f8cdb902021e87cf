export * from "./behaviour.ts";
export { PagePool } from "./page-pool.ts";
export { type MachineOptions, type MachineStatus, SimulatedMachine } from "./simulated-machine.ts";
