import { Stack } from "@mantine/core";
import { Page } from "../../components/page.tsx";
import { useSession } from "../../shell/use-tenant.ts";
import { FactorsPanel } from "./factors-panel.tsx";
import { SessionsPanel } from "./sessions-panel.tsx";

/** What concerns the person alone, in whichever tenant they work. */
export function AccountPage() {
  const { actor } = useSession();
  return (
    <Page title="Your account" description={actor.name}>
      <Stack gap="lg">
        <FactorsPanel />
        <SessionsPanel />
      </Stack>
    </Page>
  );
}
