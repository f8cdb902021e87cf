import { Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { usageQuery } from "../../api/index.ts";
import { QuotaCards } from "../../components/quota-cards.tsx";
import { Loaded } from "../../components/states.tsx";
import { useIsPlatformAdministrator, useTenantId } from "../../shell/use-tenant.ts";

/** What is used today of each limit, and what happens there. */
export function Usage() {
  const usage = useQuery(usageQuery(useTenantId()));
  const maySet = useIsPlatformAdministrator();
  return (
    <Stack>
      <Text size="sm" c="dimmed" maw={640}>
        Counted for today (UTC), over all processes, a few seconds late. An alert warns from four
        fifths of a limit on.{" "}
        {maySet
          ? "You set the limits under General."
          : "The platform\u2019s administrators set the limits: ask them for more."}
      </Text>
      <Loaded query={usage}>{({ items }) => <QuotaCards items={items} />}</Loaded>
    </Stack>
  );
}
