import { useNavigate, useSearch } from "@tanstack/react-router";
import { Page } from "../../components/page.tsx";
import { type LogFilter, LogView } from "./log-view.tsx";

export function LogsPage() {
  const filter = useSearch({ from: "/signed-in/t/$tenant/logs" });
  const navigate = useNavigate({ from: "/t/$tenant/logs" });
  const keep = (next: LogFilter) => void navigate({ search: next, replace: true });
  return (
    <Page title="Logs">
      <LogView filter={filter} onFilter={keep} />
    </Page>
  );
}
