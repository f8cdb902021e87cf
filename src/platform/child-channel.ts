import type { ChildProcess } from "node:child_process";

/**
 * Says something to a child process. One that has just died still counts as connected for a moment;
 * without a callback the failed write would be an error that nobody handles and end this process
 * too. The message is lost with its reader: whoever watches the child's end sees to the rest.
 */
export function tell(child: ChildProcess, message: object): void {
  if (child.connected) child.send(message, () => {});
}
