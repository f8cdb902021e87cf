import { Accordion, Group, MultiSelect, NumberInput, Stack, TextInput } from "@mantine/core";
import type { UseFormReturnType } from "@mantine/form";

const MONTH_SECONDS = 30 * 86_400;

/** What an order may say besides what it is; an empty field leaves it out. */
export const NO_OPTIONS = {
  priority: "" as number | "",
  coalesceKey: "",
  deliveredSeconds: "" as number | "",
  acceptedSeconds: "" as number | "",
  runningSeconds: "" as number | "",
  attempts: "" as number | "",
  delaySeconds: "" as number | "",
  retryOn: ["failed", "timed-out"] as string[],
};

export type OptionValues = typeof NO_OPTIONS;

/** Faults of what was filled in, by field, for the form's own check. */
export const checkOptions = {
  coalesceKey: (key: string) => (/^[\x21-\x7e]{0,128}$/.test(key) ? null : "A key has no spaces"),
  retryOn: (ends: string[], { attempts }: OptionValues) =>
    attempts !== "" && attempts > 1 && ends.length === 0 ? "After which end?" : null,
};

/** The options as the API takes them. */
export function optionsBody(values: OptionValues) {
  const { priority, coalesceKey, attempts, delaySeconds, retryOn } = values;
  const { deliveredSeconds, acceptedSeconds, runningSeconds } = values;
  const deadlines = filled({ deliveredSeconds, acceptedSeconds, runningSeconds });
  return {
    ...filled({ priority, coalesceKey }),
    ...(Object.keys(deadlines).length > 0 ? { deadlines } : {}),
    ...(attempts === "" || attempts < 2
      ? {}
      : {
          retry: {
            attempts,
            ...filled({ delaySeconds }),
            on: retryOn as ("failed" | "timed-out")[],
          },
        }),
  };
}

/** Without the fields that were left empty. */
export function filled<Fields extends Record<string, number | string>>(fields: Fields) {
  const entries = Object.entries(fields).filter(([, value]) => value !== "");
  return Object.fromEntries(entries) as { [Name in keyof Fields]?: Exclude<Fields[Name], ""> };
}

/** Fields for the order's place in the queue, its deadlines and its attempts, folded away. */
export function CommandOptions<Values extends OptionValues>({
  form,
}: {
  form: UseFormReturnType<Values>;
}) {
  const seconds = { min: 1, max: MONTH_SECONDS, suffix: " s", allowDecimal: false };
  return (
    <Accordion variant="separated" chevronPosition="left">
      <Accordion.Item value="options">
        <Accordion.Control>Order, deadlines and attempts</Accordion.Control>
        <Accordion.Panel>
          <Stack>
            <Group grow align="start">
              <NumberInput
                label="Priority"
                description="-100 to 100, higher comes first"
                placeholder="0"
                min={-100}
                max={100}
                allowDecimal={false}
                {...form.getInputProps("priority")}
              />
              <TextInput
                label="Key"
                description="Replaces what waits under the same key"
                placeholder="interval"
                classNames={{ input: "mono" }}
                {...form.getInputProps("coalesceKey")}
              />
            </Group>
            <Group grow align="start">
              <NumberInput
                label="Delivered within"
                {...seconds}
                {...form.getInputProps("deliveredSeconds")}
              />
              <NumberInput
                label="Accepted within"
                {...seconds}
                {...form.getInputProps("acceptedSeconds")}
              />
              <NumberInput
                label="Finished within"
                {...seconds}
                {...form.getInputProps("runningSeconds")}
              />
            </Group>
            <Group grow align="start">
              <NumberInput
                label="Attempts"
                placeholder="1"
                min={1}
                max={10}
                allowDecimal={false}
                {...form.getInputProps("attempts")}
              />
              <NumberInput
                label="Another after"
                placeholder="0 s"
                min={0}
                max={86_400}
                suffix=" s"
                allowDecimal={false}
                {...form.getInputProps("delaySeconds")}
              />
            </Group>
            <MultiSelect
              label="Try again when it has"
              data={[
                { value: "failed", label: "Failed" },
                { value: "timed-out", label: "Timed out" },
              ]}
              {...form.getInputProps("retryOn")}
            />
          </Stack>
        </Accordion.Panel>
      </Accordion.Item>
    </Accordion>
  );
}
