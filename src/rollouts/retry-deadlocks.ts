/** Attempts when two transactions stood in each other's way. */
const MAX_ATTEMPTS = 3;

/** Runs a transaction again that PostgreSQL ended because of another one. */
export async function retryDeadlocks<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      // 40P01 deadlock_detected, 40001 serialization_failure
      const { code } = error as { code?: string };
      if (attempt === MAX_ATTEMPTS || (code !== "40P01" && code !== "40001")) throw error;
    }
  }
}
