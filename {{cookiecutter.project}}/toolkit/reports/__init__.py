"""What people read: charts, pages, the data report, the gate report, and the model card."""
