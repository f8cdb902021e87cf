import { Button, Center, Paper } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconBuilding } from "@tabler/icons-react";
import { EmptyState } from "../components/states.tsx";
import { NewTenantDialog } from "../shell/new-tenant.tsx";
import { useSession } from "../shell/use-tenant.ts";

/** Signed in, and a member of nothing yet. */
export function NoTenant() {
  const { platformRole, actor } = useSession();
  const [opened, { open, close }] = useDisclosure(false);
  return (
    <Center component="main" mih="100vh" p="md">
      <Paper maw={520}>
        <EmptyState icon={IconBuilding} title={`Welcome, ${actor.name}`}>
          {platformRole === "platform-administrator" ? (
            <>
              There is no tenant yet. Devices, releases and people belong to a tenant; create the
              first one to begin.
              <br />
              <Button mt="md" onClick={open}>
                Create a tenant
              </Button>
            </>
          ) : (
            "You belong to no tenant yet. Ask an administrator to add you to one."
          )}
        </EmptyState>
      </Paper>
      <NewTenantDialog opened={opened} onClose={close} />
    </Center>
  );
}
