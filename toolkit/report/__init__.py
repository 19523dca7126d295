"""The gate's report where people look: JSON, JUnit XML, markdown, annotations and one HTML page."""
