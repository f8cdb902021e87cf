import { notifications } from "@mantine/notifications";
import { type QueryKey, useMutation, useQueryClient } from "@tanstack/react-query";
import { ApiError } from "../api/index.ts";

interface ActionOptions<Input, Output> {
  run: (input: Input) => Promise<Output>;
  /** What is said when it is done. */
  done?: (output: Output, input: Input) => string;
  /** Lists that it changed. */
  refresh?: QueryKey;
  onDone?: (output: Output, input: Input) => void;
  /** True where it has said what is wrong in its own place, beside the field that it is about, say. */
  onFailed?: (error: Error, input: Input) => boolean;
}

/** A write: tells how it ended and refreshes what it changed. */
export function useAction<Input = void, Output = unknown>(options: ActionOptions<Input, Output>) {
  const client = useQueryClient();
  return useMutation<Output, Error, Input>({
    mutationFn: options.run,
    onSuccess: (output, input) => {
      if (options.refresh) void client.invalidateQueries({ queryKey: options.refresh });
      const message = options.done?.(output, input);
      if (message) notifications.show({ color: "moss", message });
      options.onDone?.(output, input);
    },
    onError: (error, input) => {
      if (!options.onFailed?.(error, input)) notifications.show(describeFailure(error));
    },
  });
}

export function describeFailure(error: Error) {
  const known = error instanceof ApiError ? error : undefined;
  const reference = known?.traceId ? ` (${known.code}, trace ${known.traceId.slice(0, 12)})` : "";
  return {
    color: "ember",
    title: known?.title ?? "It did not work",
    message: `${error.message}${reference}`,
    autoClose: 10_000,
  };
}
