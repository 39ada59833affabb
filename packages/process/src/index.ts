export { AllowedCommands, type AllowedCommandsOptions, type PoolCommand } from './allowed-commands.ts';
export { HostAgent, type HostAgentOptions } from './host-agent.ts';
export { HostDriver, type HostDriverOptions } from './host-driver.ts';
export type { Launcher, LaunchOutcome, LaunchSpec } from './launch/launcher.ts';
export { ProcessLauncher, type ProcessLauncherOptions, type ProcessLimits } from './launch/process-launcher.ts';
export { SimulatedLauncher, type SimulatedLauncherOptions, type SimulatedWorker } from './launch/simulated-launcher.ts';
export { hostMemoryBudget, type MemoryBudget, type MemoryProbe } from './memory-budget.ts';
export { openStateFolder, type StateFolder, type StateFolderOptions } from './state-folder.ts';
